package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// shop answers product pages through the cache.
type shop struct {
	table    *table
	cache    *client.Client
	products *client.Typed[Product]
}

func newShop(cache *client.Client, rows *table) *shop {
	return &shop{table: rows, cache: cache, products: client.For[Product](cache)}
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /products/{id}", s.show)
	mux.HandleFunc("PUT /products/{id}/price", s.setPrice)
	return mux
}

// load is the origin: it sees what was committed before it was called. The tag
// names what else would make the page wrong.
func (s *shop) load(ctx context.Context, key string) (Product, client.Answer, error) {
	id := strings.TrimSuffix(strings.TrimPrefix(key, "product:"), ":page")
	p, err := s.table.product(ctx, id)
	if errors.Is(err, errNoProduct) {
		return p, client.Answer{NotFound: true, TTL: time.Minute}, nil
	}
	return p, client.Answer{Tags: []string{"category:" + p.Category}, TTL: time.Hour}, err
}

func (s *shop) show(w http.ResponseWriter, r *http.Request) {
	// A caller who has just written brings the token, and sees its write.
	seen, err := client.ParseToken(r.Header.Get("Shop-Session"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p, err := s.products.GetOrLoad(r.Context(), pageKey(r.PathValue("id")), s.load, client.At(client.Session(seen)))
	switch {
	case errors.Is(err, client.ErrNotFound):
		http.NotFound(w, r)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(p) // who hung up needs no answer
}

func (s *shop) setPrice(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 32))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cents, err := strconv.Atoi(strings.TrimSpace(string(body)))
	if err != nil || cents < 0 {
		http.Error(w, "want the price in cents", http.StatusBadRequest)
		return
	}
	id := r.PathValue("id")
	switch err := s.table.setPrice(id, cents); {
	case errors.Is(err, errNoProduct):
		http.NotFound(w, r)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	// After the commit: everything of this product, on every node. When this
	// returns, nobody serves the old price any more.
	token, err := s.cache.Invalidate(r.Context(), client.Invalidation{Prefixes: []string{"product:" + id + ":"}}, client.Everywhere())
	if err != nil {
		// The price stands; the caller may repeat, which does no harm.
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Shop-Session", token.String())
	w.WriteHeader(http.StatusNoContent)
}

func pageKey(id string) string { return "product:" + id + ":page" }
