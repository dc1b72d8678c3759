package memory_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// A suspended cache holds nothing, whoever stores at that moment, and notes
// fences all the same.
func TestSuspend(t *testing.T) {
	c := newCache(t, memory.Config{Bytes: memory.MinBytes})
	entry := tiertest.Entry(t, "k", 5, "v")
	var storing sync.WaitGroup
	ended := make(chan struct{})
	for range 2 {
		storing.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
					_ = c.Put(entry)
				}
			}
		})
	}
	for range 200 {
		c.Suspend()
		if _, ok := c.Lookup("k", nil); ok {
			t.Fatal("a copy survives")
		}
		c.Resume()
	}
	c.Suspend()
	close(ended)
	storing.Wait()
	c.Fence("k", 6)
	if err := c.Replace(tiertest.Entry(t, "k", 7, "v")); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Lookup("k", nil); ok {
		t.Fatal("a suspended cache holds a copy")
	}
	c.Resume()
	if err := c.Put(entry); !errors.Is(err, tiers.ErrOutdated) {
		t.Fatalf("a fence of the meantime is forgotten: %v", err)
	}
}
