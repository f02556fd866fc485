# `make up` installs and starts Castoff, `make down` stops it, `make update` brings it to this clone's version (and back if
# that fails), `make test` runs all tests, `make bench` compares a run with a plain container and measures turns. The work is
# in scripts/. Make itself ends with 2 when a script fails; the script's own code is on the last line (77: root is needed).
.PHONY: up down update test bench

up:
	@scripts/up

down:
	@scripts/down

update:
	@scripts/update

test:
	@scripts/test

bench:
	@scripts/bench
