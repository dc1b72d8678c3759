// Package storetest is what every store of snapshots must pass, with a store in
// memory that passes it.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/raptorflow/tercet/internal/snapshot"
)

// Run tests what open returns: a store that is empty, and a second way to the
// same one.
func Run(t *testing.T, open func(t *testing.T) (store, again snapshot.Store)) {
	for name, test := range map[string]func(*testing.T, snapshot.Store, snapshot.Store){
		"ObjectsAreKept": objectsAreKept, "Replaced": replaced, "HalfIsNothing": halfIsNothing,
		"CancelledIsNothing": cancelledIsNothing, "Removed": removed, "Lists": lists, "Large": large, "AtOnce": atOnce,
	} {
		t.Run(name, func(t *testing.T) {
			s, again := open(t)
			test(t, s, again)
		})
	}
}

func put(t *testing.T, s snapshot.Store, name, content string) {
	t.Helper()
	if err := s.Put(t.Context(), name, strings.NewReader(content)); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
}

func read(ctx context.Context, s snapshot.Store, name string) (string, error) {
	r, err := s.Get(ctx, name)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), errors.Join(err, r.Close())
}

func want(t *testing.T, s snapshot.Store, name, content string) {
	t.Helper()
	if got, err := read(t.Context(), s, name); err != nil || got != content {
		t.Fatalf("get %s: %.40q, %v, want %.40q", name, got, err, content)
	}
}

func wantNone(t *testing.T, s snapshot.Store, name string) {
	t.Helper()
	if got, err := read(t.Context(), s, name); !errors.Is(err, snapshot.ErrNotFound) {
		t.Fatalf("get %s: %.40q, %v, want ErrNotFound", name, got, err)
	}
}

func wantList(t *testing.T, s snapshot.Store, prefix string, names ...string) {
	t.Helper()
	if got, err := s.List(t.Context(), prefix); err != nil || !slices.Equal(got, names) {
		t.Fatalf("list %q: %q, %v, want %q", prefix, got, err, names)
	}
}

func objectsAreKept(t *testing.T, s, again snapshot.Store) {
	wantNone(t, s, "shop/a.data")
	put(t, s, "shop/a.data", "content")
	put(t, s, "shop/empty", "")
	want(t, s, "shop/a.data", "content")
	want(t, again, "shop/a.data", "content")
	want(t, again, "shop/empty", "")
}

func replaced(t *testing.T, s, again snapshot.Store) {
	put(t, s, "a", "first, which is longer")
	put(t, again, "a", "second")
	want(t, s, "a", "second")
	wantList(t, s, "", "a")
}

// What could not be read whole is not there, and what was there still is.
func halfIsNothing(t *testing.T, s, again snapshot.Store) {
	gone := errors.New("the writer is gone")
	half := func() io.Reader {
		return io.MultiReader(bytes.NewReader(make([]byte, 300<<10)), iotest.ErrReader(gone))
	}
	if err := s.Put(t.Context(), "a", half()); !errors.Is(err, gone) {
		t.Fatalf("put of half an object: %v, want the reader's error", err)
	}
	wantNone(t, again, "a")
	wantList(t, s, "")
	put(t, s, "a", "whole")
	if err := s.Put(t.Context(), "a", half()); !errors.Is(err, gone) {
		t.Fatalf("put of half an object: %v, want the reader's error", err)
	}
	want(t, again, "a", "whole")
}

func cancelledIsNothing(t *testing.T, s, again snapshot.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	from, to := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := s.Put(ctx, "a", from)
		_ = from.CloseWithError(io.ErrClosedPipe)
		done <- err
	}()
	if _, err := to.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = to.CloseWithError(context.Canceled) // as whoever writes does
	if err := <-done; err == nil {
		t.Fatal("a put that was cancelled succeeded")
	}
	wantNone(t, again, "a")
}

func removed(t *testing.T, s, again snapshot.Store) {
	put(t, s, "shop/a", "content")
	for range 2 {
		if err := again.Remove(t.Context(), "shop/a"); err != nil {
			t.Fatal(err)
		}
		wantNone(t, s, "shop/a")
		wantList(t, s, "shop/")
	}
	put(t, s, "shop/a", "again")
	want(t, again, "shop/a", "again")
}

func lists(t *testing.T, s, again snapshot.Store) {
	wantList(t, s, "")
	for _, name := range []string{"shop/c", "shop/a", "other/b", "shopping/d", "shop/b"} {
		put(t, s, name, name)
	}
	wantList(t, again, "shop/", "shop/a", "shop/b", "shop/c")
	wantList(t, again, "other/", "other/b")
	wantList(t, again, "none/")
}

// Larger than any buffer or part.
func large(t *testing.T, s, again snapshot.Store) {
	content := strings.Repeat("0123456789abcdef", 11<<20/16)
	put(t, s, "a", content)
	if got, err := read(t.Context(), again, "a"); err != nil || got != content {
		t.Fatalf("%d bytes, %v, want %d", len(got), err, len(content))
	}
}

func atOnce(t *testing.T, s, again snapshot.Store) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 5 {
				name := fmt.Sprintf("shop/%d-%d", i, n)
				if err := s.Put(t.Context(), name, strings.NewReader(name)); err != nil {
					t.Errorf("put: %v", err)
				}
				if got, err := read(t.Context(), again, name); err != nil || got != name {
					t.Errorf("get %s: %q, %v", name, got, err)
				}
				if n%2 == 0 {
					if err := again.Remove(t.Context(), name); err != nil {
						t.Errorf("remove: %v", err)
					}
				}
			}
		})
	}
	all.Wait()
	if names, err := s.List(t.Context(), "shop/"); err != nil || len(names) != 16 {
		t.Errorf("%d objects, %v, want 16", len(names), err)
	}
}
