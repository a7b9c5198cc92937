# SPDX-License-Identifier: MIT
# The project's commands; `make help` lists them.  The build itself is CMake's (CMakeLists.txt).

CORES   := $(shell nproc 2>/dev/null || echo 2)
RELEASE := build/release
LIBRARY := $(RELEASE)/libmimalloc.so
PREFIX  ?= /usr/local
CMD     ?=

# Lengths of the long runs, in seconds, and operations of each thread beside a frozen one.
STRESS_SECONDS    ?= 60
FREEZE_OPERATIONS ?= 1000000
FUZZ_SECONDS      ?= 600

# What was made for mimalloc itself, in Debian's unstable suite: tried on ours, if it can be fetched.
FOREIGN_PACKAGES := libmimalloc3 libmimalloc-dev mold jaq luametatex libc6 libgcc-s1 libzstd1 zlib1g python3-psutil

.DEFAULT_GOAL := build
.PHONY: amalgamation build deb run test stress fuzz bench bench-metadata bench-quick doc install clean help

build: ## build the library (Release) in build/release
	@tools/install-deps build
	@cmake -S . -B $(RELEASE) -G Ninja -DCMAKE_BUILD_TYPE=Release -DMI_BUILD_TESTS=OFF >/dev/null
	@cmake --build $(RELEASE) -- -j $(CORES)

run: build ## run a program on the system's malloc and on ours: make run CMD="redis-server --port 7777"
	@tools/run --lib $(LIBRARY) -- $(CMD)

test: ## install what is missing, build every configuration, run every test
	@tools/install-deps build test programs doc
	@tools/fetch-peers --unpack $(FOREIGN_PACKAGES) >/dev/null || true
	@tools/test-all $(if $(ARGS),-- $(ARGS))

stress: ## stress for STRESS_SECONDS (60), Release and Debug, then a thread frozen at every atomic operation in turn
	@tools/install-deps build test
	@MI_STRESS_SECONDS=$(STRESS_SECONDS) tools/test-all --only gcc-release --only gcc-debug -- -L stress
	@build/gcc-release/test/interleave/interleave-freeze $(FREEZE_OPERATIONS) 3 1 120

fuzz: ## fuzz the interface with libFuzzer for FUZZ_SECONDS (600); keeps its corpus in build/fuzz
	@tools/install-deps build test
	@tools/fuzz $(FUZZ_SECONDS)

bench: build ## benchmarks against the system's malloc and others, and real programs (hours); PEERS=name=path adds
	@tools/install-deps bench programs
	@bench/run --library $(LIBRARY) --calls --instructions --programs full --json build/bench/result.json \
		--markdown build/bench/result.md --plots build/bench/plots
	@echo "bench: build/bench/result.md, result.json and plots/"
	@$(MAKE) --no-print-directory bench-metadata

bench-metadata: build ## what the allocator takes beside 1 GiB of blocks, against its bound
	@cc -std=gnu11 -O2 -fno-builtin bench/metadata.c $(RELEASE)/libmimalloc.a -pthread -o $(RELEASE)/bench-metadata
	@$(RELEASE)/bench-metadata 1024

bench-quick: build ## the workloads only, in five minutes
	@tools/install-deps bench
	@bench/run --quick --library $(LIBRARY) --json build/bench/quick.json --markdown build/bench/quick.md \
		--plots build/bench/plots-quick
	@echo "bench-quick: build/bench/quick.md, quick.json and plots-quick/"

amalgamation: ## one mimalloc.c and the headers, to be dropped into a project, in build/amalgamation
	@tools/amalgamate build/amalgamation
	@echo "build/amalgamation: $$(ls build/amalgamation | tr '\n' ' ')"

doc: ## the reference of every function and the pages of doc/, as HTML, in build/doc/html
	@tools/install-deps doc
	@mkdir -p build/doc
	@doxygen doc/Doxyfile
	@echo "build/doc/html/index.html: every function, the examples and the pages of doc/"

install: build ## install library, headers, CMake package and pkg-config file into PREFIX (/usr/local)
	@cmake --install $(RELEASE) --prefix $(PREFIX)

deb: ## a Debian package in build/deb, which takes the place of mimalloc's own
	@tools/install-deps build package
	@cmake -S . -B build/deb -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr -DMI_BUILD_TESTS=OFF >/dev/null
	@cmake --build build/deb -- -j $(CORES)
	@cd build/deb && cpack -G DEB

clean: ## remove everything that was built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14
