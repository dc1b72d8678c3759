package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/pkg/client"
)

const payloadL2 = 100

// runL2 measures a read that Redis answers, because neither memory nor disk
// has seen the key, beside go-redis's GET of the payload alone.
func runL2(ctx context.Context, b *bench) error {
	for _, n := range b.sizes {
		if err := b.l2(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) l2(ctx context.Context, n int) error {
	d := newData(n, payloadL2)
	server := b.redisServer()
	raw := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer raw.Close()
	if err := load(ctx, raw, d); err != nil {
		return err
	}
	domain := fmt.Sprintf("bench-l2-%d", n)
	writer, err := b.open(ctx, domain, client.Config{RedisURL: server.URL()})
	if err != nil {
		return err
	}
	if err := errors.Join(fill(ctx, writer, d), shut(writer)); err != nil {
		return err
	}
	b.say("%d keys of %d B are in Redis", n, payloadL2)

	for _, x := range []struct {
		callers int
		row     row
	}{
		{1, row{Name: "one caller", Target: 1.15, Aim: 1.08}},
		{50, row{Name: "50 callers", Target: 0.6}},
	} {
		var at atomic.Int64
		get := func(int) error {
			i := int(at.Add(1)) % n
			v, err := raw.Get(ctx, d.keys[i]).Bytes()
			if err != nil || !d.right(i, v) {
				return wrong("redis", d.keys[i], v)
			}
			return nil
		}
		cold := &coldReader{b: b, domain: domain, d: d, url: server.URL()}
		p, err := b.pairing().run(ctx, callers(x.callers, get), cold.side(ctx, x.callers))
		if err := errors.Join(err, cold.close()); err != nil {
			return err
		}
		x.row.Name = fmt.Sprintf("GET, %s, %d keys, %d B", x.row.Name, n, payloadL2)
		x.row.Unit = nanoseconds
		b.add(x.row.of(p))
	}
	return nil
}

// load empties the server and writes d to it.
func load(ctx context.Context, raw *goredis.Client, d *data) error {
	if err := raw.FlushAll(ctx).Err(); err != nil {
		return err
	}
	const batch = 1000
	for from := 0; from < len(d.keys); from += batch {
		p := raw.Pipeline()
		for _, i := range d.filling[from:min(len(d.keys), from+batch)] {
			p.Set(ctx, d.keys[i], d.value(i), 0)
		}
		if _, err := p.Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// coldReader reads each key once from a node that has not seen it: what Redis
// answers moves to memory and disk. When the keys run out, a new node with
// empty tiers takes its place, between slices.
type coldReader struct {
	b      *bench
	domain string
	d      *data
	url    string

	c     *client.Client
	files owner
	at    atomic.Int64 // the next key
	last  int64        // how many keys the slice before this one took
}

func (r *coldReader) side(ctx context.Context, n int) side {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, 0, 512)
	}
	work := callers(n, func(caller int) error {
		i := int(r.at.Add(1)) - 1
		if i >= len(r.d.keys) {
			return errEnd
		}
		v, err := r.c.GetInto(ctx, r.d.keys[i], bufs[caller])
		if err != nil || !r.d.right(i, v) {
			return errors.Join(err, wrong("tercet", r.d.keys[i], v))
		}
		return nil
	})
	return func(d time.Duration) (float64, error) {
		if r.c == nil || r.at.Load()+r.last/2 > int64(len(r.d.keys)) {
			if err := r.renew(ctx); err != nil {
				return 0, err
			}
		}
		from := r.at.Load()
		figure, err := work(d)
		r.last = r.at.Load() - from
		return figure, err
	}
}

func (r *coldReader) renew(ctx context.Context) error {
	if err := r.close(); err != nil {
		return err
	}
	c, err := r.b.open(ctx, r.domain, client.Config{RedisURL: r.url, DataDir: r.files.TempDir()})
	if err != nil {
		return err
	}
	r.c = c
	r.at.Store(0)
	return nil
}

// close ends the node and checks that Redis answered all that it was asked.
func (r *coldReader) close() error {
	if r.c == nil {
		return nil
	}
	read := min(r.at.Load(), int64(len(r.d.keys)))
	a := answers(r.c)
	err := shut(r.c)
	r.files.release()
	r.c = nil
	if a.shared != uint64(read) {
		err = errors.Join(err, fmt.Errorf("of %d reads Redis answered %d: %+v", read, a.shared, a))
	}
	return err
}
