"""Transfer over a corpus of domains: each domain as the target, and the number of sources varied."""
