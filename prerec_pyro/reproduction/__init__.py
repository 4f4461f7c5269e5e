"""The paper's tables and figures on any domains, and the search of its Table 4."""
