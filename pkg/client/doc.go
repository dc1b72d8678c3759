// Package client is what services embed: it runs a Tercet node in the
// process, so that a hit costs what a map costs, and keeps it coherent with
// every other node of the domain.
//
//	c, err := client.Open(ctx, client.Config{
//		Domain:   "shop",
//		NATSURL:  "nats://127.0.0.1:4222",
//		RedisURL: "redis://127.0.0.1:6379",
//	})
//	products := client.For[Product](c)
//	p, err := products.GetOrLoad(ctx, "product:17:detail", loadProduct)
//	…
//	err = c.Invalidate(ctx, client.Invalidation{Tags: []string{"category:shoes"}})
//
// What is promised, and what is not, is in docs/GUARANTEES.md of the module.
// In short: once an invalidation has returned with [Everywhere], no read that
// starts later, on any node, sees an older value; and without it the same
// holds after the domain's lease at most. To be sure of that against your own
// database, invalidate after your commit.
//
// A [Client] is safe for concurrent use.
package client
