"""RecBole's own general recommenders, by the name `recbole:NAME`, as models of this project."""
