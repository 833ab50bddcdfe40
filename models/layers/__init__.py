"""Parts that models share: graphs, item graphs, features, losses, initial values. Plugins may import them."""
