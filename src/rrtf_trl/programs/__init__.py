"""Programs: taken out of a response, and put together with what a problem gives around them."""
