"""What every test may use: the fixture `ceph`, a real object store."""

pytest_plugins = ["tests.s3.ceph"]
