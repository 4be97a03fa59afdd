"""What Holocron is tried out and tested with, shipped so that its users can test their own programs the same way.

`holocron.testing.server` is an S3 server for one machine. Nothing in production imports this package.
"""
