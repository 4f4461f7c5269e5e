"""The paper's tables and figures on any domains, and the hyperparameter search of its Table 4."""
