"""Pictures: tables in, matplotlib axes out."""
