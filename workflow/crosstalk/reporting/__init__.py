"""Tables, claims, figures and text from records."""
