# The image of core, runner and their like, from binaries that are already built: what `make up` makes. See Dockerfile beside it.
FROM scratch
COPY castoff castoff-init /usr/local/bin/
ENV PATH=/usr/local/bin
CMD ["castoff", "--help"]
