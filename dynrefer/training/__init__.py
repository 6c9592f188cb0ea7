"""Training: data sets of regions, features cached from the frozen encoder, and the loop that survives being killed."""
