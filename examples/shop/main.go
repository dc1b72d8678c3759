// Shop is a small service that embeds the cache: it answers product pages from
// a slow table, and when a price changes, no copy of the old one is served any
// more, here or in any other shop.
//
//	go run ./examples/shop -nats nats://127.0.0.1:4222 -listen 127.0.0.1:9001
//	go run ./examples/shop -nats nats://127.0.0.1:4222 -listen 127.0.0.1:9002
//	curl http://127.0.0.1:9001/products/1
//	curl -X PUT -d 1250 http://127.0.0.1:9002/products/1/price
//	curl http://127.0.0.1:9001/products/1
//
// Both read one table, a file. The first change of a price in a new domain waits
// for a lease: until then nobody can vouch that no member from before is left.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

func main() {
	natsURL := flag.String("nats", "nats://127.0.0.1:4222", "where the log is")
	redisURL := flag.String("redis", "", "the shared tier, as redis://127.0.0.1:6379; empty: none")
	domain := flag.String("domain", "shop-example", "name of the cache; made if it is missing")
	listen := flag.String("listen", "127.0.0.1:9001", "where to answer")
	path := flag.String("table", filepath.Join(os.TempDir(), "tercet-shop.json"), "file with the products; made if it is missing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cfg := client.Config{Domain: *domain, NATSURL: *natsURL, RedisURL: *redisURL, Create: true}
	if err := run(ctx, cfg, *listen, *path); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx is done. The cache opens before the port does and closes
// after it.
func run(ctx context.Context, cfg client.Config, listen, path string) (err error) {
	rows, err := openTable(path)
	if err != nil {
		return err
	}
	cache, err := client.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, cache.Close(closing))
	}()

	server := &http.Server{Addr: listen, Handler: newShop(cache, rows).routes(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	log.Printf("shop answers at http://%s/products/1", listen)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = server.Shutdown(ending)
	<-served // it says that it was shut down
	return err
}
