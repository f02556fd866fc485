# `make up` installs and starts Castoff, `make down` stops it, `make test` runs all tests. The work is in scripts/.
# Make itself ends with 2 when a script fails; the script's own code is on its last line (77: root is needed).
.PHONY: up down test

up:
	@scripts/up

down:
	@scripts/down

test:
	@scripts/test
