"""The engines that draw from the posterior."""
