"""The wire: JSON text and binary messages to typed ones, with every fault at its place."""
