// Command node is a member of a cache domain that Redis and HTTP clients talk
// to.
package main

import (
	"os"

	"github.com/raptorflow/tercet/cmd/internal/ops"
	"github.com/raptorflow/tercet/internal/config"
)

const long = `node keeps three tiers (memory, Redis, disk) coherent with all other nodes of its
domain through the domain's log on NATS JetStream, and serves them to Redis
clients and over HTTP.

It serves when it has caught up with the log, which /readyz tells, and stops
serving when it has been cut off from the log for longer than the lease.

Each setting is a flag, a variable TERCET_... and a key of the YAML file, in that
order of strength; --print-config shows them all and where each came from.

Exit codes: 0 stopped on request, 2 configuration that can't work, 1 other.`

const example = `  node --domain shop --nats-url nats://127.0.0.1:4222 --redis-url redis://127.0.0.1:6379 --create
  redis-cli -p 6380 set user:1 Ada
  curl http://127.0.0.1:8080/v1/shop/keys/user:1`

func main() {
	cmd := config.Command(config.ForNode, "node", "Serve a cache domain to Redis and HTTP clients", long, run)
	cmd.Example = example
	os.Exit(ops.Execute(cmd))
}
