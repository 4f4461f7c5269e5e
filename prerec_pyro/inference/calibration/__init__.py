"""Effect scales estimated from a log, and the hyperprior learnt over domains."""
