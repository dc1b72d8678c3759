package storetest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/raptorflow/tercet/internal/snapshot"
)

// Memory is a store in memory. The zero one is empty.
type Memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

var _ snapshot.Store = (*Memory)(nil)

// Put implements [snapshot.Store].
func (m *Memory) Put(ctx context.Context, name string, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	m.Set(name, b)
	return nil
}

// Set keeps b, whatever it is.
func (m *Memory) Set(name string, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects == nil {
		m.objects = make(map[string][]byte)
	}
	m.objects[name] = b
}

// Bytes returns a copy of an object; nil if there is none.
func (m *Memory) Bytes(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.objects[name])
}

// Get implements [snapshot.Store].
func (m *Memory) Get(_ context.Context, name string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[name]
	if !ok {
		return nil, snapshot.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// List implements [snapshot.Store].
func (m *Memory) List(_ context.Context, prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.Sorted(maps.Keys(m.objects))
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) }), nil
}

// Remove implements [snapshot.Store].
func (m *Memory) Remove(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}
