"""Reader of XMarket, one market at a time."""
