"""streamd as a service of systemd: its unit files, and what installs and asks them."""
