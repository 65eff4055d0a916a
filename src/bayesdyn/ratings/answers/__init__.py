"""From a server's answer to a reading: methods, and the parse."""
