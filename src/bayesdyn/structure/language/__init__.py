"""The model language: from the text of a model file to a frozen spec, and back."""
