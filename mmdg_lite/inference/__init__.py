"""A trained model asked about pictures: reading and cropping them, the decision, notes on their quality, export."""
