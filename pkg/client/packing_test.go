package client_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/pkg/client"
)

func sealing(t *testing.T, text string) func(*client.Config) {
	t.Helper()
	keys, err := client.ParseSealKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *client.Config) { c.SealKeys = keys }
}

func sealKey(id int) string {
	return fmt.Sprintf("%d:%s", id, hex.EncodeToString(bytes.Repeat([]byte{byte(id)}, 32)))
}

// shared returns what lies in Redis, by name.
func shared(t *testing.T, r *goredis.Client) map[string]string {
	t.Helper()
	names, err := r.Keys(t.Context(), "tercet:shop:*:product:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, n := range names {
		if all[n], err = r.Get(t.Context(), n).Result(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Values are small and secret in Redis, come back whole on every way, and what
// was swapped there is a miss that is counted (G6).
func TestPackedValues(t *testing.T) {
	f := newFleet(t)
	options, err := goredis.ParseURL(f.redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	r := goredis.NewClient(options)
	defer r.Close()
	value := func(i int) string {
		return fmt.Sprintf(`{"id":%d,"words":"%s"}`, i, strings.Repeat("tea and biscuits, ", 200))
	}
	load := func(_ context.Context, key string) (client.Loaded, error) {
		var i int
		_, err := fmt.Sscanf(key, "product:%d", &i)
		return client.Loaded{Value: []byte(value(i))}, err
	}
	secret := sealing(t, sealKey(1))
	a := f.open("a", secret)
	for i := range 2 {
		if v, err := a.GetOrLoad(t.Context(), fmt.Sprint("product:", i), load); err != nil || string(v.Bytes) != value(i) {
			t.Fatalf("%q, %v", v.Bytes, err)
		}
	}
	await(t, "two values in Redis", func() bool { return len(shared(t, r)) == 2 })
	for name, held := range shared(t, r) {
		if strings.Contains(held, "biscuits") || len(held) > 1000 {
			t.Fatalf("%s: %d bytes that tell what they are", name, len(held))
		}
	}
	if s := a.TierStats().Packing; s.Packed == 0 || s.SavedBytes < 5000 {
		t.Errorf("%+v", s)
	}
	// The latest key opens what the one before it sealed.
	b := f.open("b", sealing(t, sealKey(2)+","+sealKey(1)))
	if v, err := b.Get(t.Context(), "product:0"); err != nil || string(v.Bytes) != value(0) || v.Source != "redis" {
		t.Fatalf("%q from %s, %v", v.Bytes, v.Source, err)
	}
	// Under each other's names they are worth nothing.
	var names []string
	all := shared(t, r)
	for n := range all {
		names = append(names, n)
	}
	for i, n := range names {
		if err := r.Set(t.Context(), n, all[names[1-i]], 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	without := f.open("c", secret, func(c *client.Config) { c.Replication = -1 })
	if v, err := without.Get(t.Context(), "product:1"); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("%q, %v", v.Bytes, err)
	}
	// Nor to who has other keys.
	blind := f.open("d", sealing(t, sealKey(3)), func(c *client.Config) { c.Replication = -1 })
	if _, err := a.Set(t.Context(), "product:7", []byte(value(7))); err != nil {
		t.Fatal(err)
	}
	await(t, "the value in Redis", func() bool { return len(shared(t, r)) > 0 })
	if _, err := a.Set(t.Context(), "product:8", []byte(strings.Repeat("x", 200_000))); err != nil { // too large to ride in the log
		t.Fatal(err)
	}
	if v, err := blind.Get(t.Context(), "product:8"); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("%d bytes from %s without the key, %v", len(v.Bytes), v.Source, err)
	}
	if s := blind.TierStats().Packing; s.NotOpened == 0 {
		t.Errorf("%+v: what did not open was not counted", s)
	}
}

// A disk keeps sealed values over a restart, and is worth nothing to who has
// other keys.
func TestSealedDisk(t *testing.T) {
	f := newFleet(t)
	f.partitions = 1
	alone := func(c *client.Config) { c.RedisURL = "" }
	a := f.open("a", alone, sealing(t, sealKey(1)))
	if _, err := a.Set(t.Context(), "product:1", []byte("tea and biscuits")); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := f.open("a", alone, sealing(t, sealKey(2)+"\n"+sealKey(1)))
	if got := get(t, again, "product:1"); got != "tea and biscuits" {
		t.Fatalf("read %q after a restart", got)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := f.open("a", alone, sealing(t, sealKey(3)))
	if got := get(t, other, "product:1"); got != "" {
		t.Fatalf("read %q without the key", got)
	}
	if s := other.TierStats().Packing; s.NotOpened == 0 {
		t.Errorf("%+v: what did not open was not counted", s)
	}
}

// What the service does not want cached is kept nowhere.
func TestValidate(t *testing.T) {
	f := newFleet(t)
	wrong := errors.New("no product")
	c := f.open("a", func(c *client.Config) {
		c.Validate = func(_ string, v []byte) error {
			if bytes.HasPrefix(v, []byte("<html>")) {
				return wrong
			}
			return nil
		}
	})
	page := func(context.Context, string) (client.Loaded, error) {
		return client.Loaded{Value: []byte("<html>oops")}, nil
	}
	if _, err := c.GetOrLoad(t.Context(), "k", page); !errors.Is(err, client.ErrRefused) || !errors.Is(err, wrong) {
		t.Errorf("load: %v", err)
	}
	if _, err := c.Set(t.Context(), "k", []byte("<html>oops")); !errors.Is(err, client.ErrRefused) {
		t.Errorf("set: %v", err)
	}
	if got := get(t, c, "k"); got != "" {
		t.Errorf("%q is cached", got)
	}
	if _, err := client.Open(t.Context(), func() client.Config {
		cfg := f.config("b")
		cfg.Compression = "most"
		return cfg
	}()); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("compression most: %v", err)
	}
}
