package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Product is a row, and what is cached of it.
type Product struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Category string `json:"category"`
	Cents    int    `json:"cents"`
}

var errNoProduct = errors.New("no such product")

// slow is what a query takes.
const slow = 200 * time.Millisecond

// table stands for a database: a file that several processes may read. Two that
// write at once would lose a change, which a database would not.
type table struct {
	path string
	mu   sync.Mutex // one writer in this process
}

// openTable makes the file if it is missing.
func openTable(path string) (*table, error) {
	t := &table{path: path}
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	return t, t.commit(map[string]Product{
		"1": {ID: "1", Name: "Darjeeling", Category: "tea", Cents: 1190},
		"2": {ID: "2", Name: "Teapot", Category: "pots", Cents: 3450},
	})
}

func (t *table) rows() (map[string]Product, error) {
	b, err := os.ReadFile(t.path)
	if err != nil {
		return nil, err
	}
	var rows map[string]Product
	if err := json.Unmarshal(b, &rows); err != nil {
		return nil, fmt.Errorf("read %s: %w", t.path, err)
	}
	return rows, nil
}

// commit replaces the file in one step.
func (t *table) commit(rows map[string]Product) error {
	b, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	next := fmt.Sprintf("%s.%d", t.path, os.Getpid())
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, t.path)
}

func (t *table) product(ctx context.Context, id string) (Product, error) {
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return Product{}, ctx.Err()
	}
	rows, err := t.rows()
	if err != nil {
		return Product{}, err
	}
	p, ok := rows[id]
	if !ok {
		return p, errNoProduct
	}
	return p, nil
}

func (t *table) setPrice(id string, cents int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows, err := t.rows()
	if err != nil {
		return err
	}
	p, ok := rows[id]
	if !ok {
		return errNoProduct
	}
	p.Cents = cents
	rows[id] = p
	return t.commit(rows)
}
