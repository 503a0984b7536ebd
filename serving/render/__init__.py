"""Plans in the forms that people and machines start servers from."""
