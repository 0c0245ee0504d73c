"""What a deployed system meets outside of itself: a mail server and identity providers, on this machine."""
