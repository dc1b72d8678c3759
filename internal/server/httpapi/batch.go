package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// maxBatch bounds the keys of one request, and so what an answer may hold.
const maxBatch = 1024

// value is one key's part of a batch. Text that is UTF-8 stands in value, all
// other bytes in value_base64.
type value struct {
	Key    string   `json:"key"`
	Text   *string  `json:"value,omitempty"`
	Base64 []byte   `json:"value_base64,omitempty"`
	TTL    string   `json:"ttl,omitempty"`
	Tags   []string `json:"tags,omitempty"`
	// The rest is said in answers only.
	Source string   `json:"source,omitempty"`
	Stale  bool     `json:"stale,omitempty"`
	Error  *problem `json:"error,omitempty"`
}

// getMany answers {"keys": [...]} with a value or an error for each, in their
// order. Keys that are not found are left out.
func (s *Server) getMany(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Keys []string `json:"keys"`
	}
	b, err := body(w, r, maxInvalidation)
	if err != nil {
		return err
	}
	if err := parse(b, "list of keys", &in); err != nil {
		return err
	}
	if len(in.Keys) > maxBatch {
		return invalid(fmt.Sprintf("%d keys, at most %d in one request", len(in.Keys), maxBatch))
	}
	var o node.BatchOptions
	if o.Level, err = level(r.Header); err != nil {
		return err
	}
	if o.Fallback, err = fallback(r.Header.Get(headerFallback)); err != nil {
		return err
	}
	ctx, cancel := s.deadline(r, node.Logged)
	defer cancel()
	out := struct {
		Values []value `json:"values"`
	}{[]value{}}
	for _, a := range s.cache.GetMany(ctx, in.Keys, o) {
		switch {
		case errors.Is(a.Err, node.ErrNotFound), a.Err == nil && a.Entry.Flags()&tiers.FlagNegative != 0:
		case a.Err != nil:
			p := problemOf(a.Err)
			out.Values = append(out.Values, value{Key: a.Key, Error: &p})
		default:
			out.Values = append(out.Values, valueOf(a))
		}
	}
	s.setToken(w, r, consistency.Token{})
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, out)
	return nil
}

func valueOf(a node.Answer) value {
	v := value{Key: a.Key, Source: a.Source.String(), Stale: a.Stale}
	if b := a.Entry.Payload(); utf8.Valid(b) {
		text := string(b)
		v.Text = &text
	} else {
		v.Base64 = b
	}
	if expiry := a.Entry.ExpiryMilli(); expiry != 0 {
		v.TTL = max(time.Until(time.UnixMilli(expiry)), 0).Round(time.Millisecond).String()
	}
	for t := range a.Entry.Tags() {
		v.Tags = append(v.Tags, t)
	}
	return v
}

// putMany writes {"values": [...]} in one record for each partition.
func (s *Server) putMany(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Values  []value `json:"values"`
		Concern string  `json:"concern"`
	}
	b, err := body(w, r, s.cfg.MaxValue)
	if err != nil {
		return err
	}
	if err := parse(b, "list of values", &in); err != nil {
		return err
	}
	c, err := concern(in.Concern)
	if err != nil {
		return err
	}
	items := make([]node.Item, 0, len(in.Values))
	for _, v := range in.Values {
		if v.Text != nil && v.Base64 != nil || v.Source != "" || v.Stale || v.Error != nil {
			return invalid(fmt.Sprintf("value of %q: want key, value or value_base64, ttl and tags", v.Key))
		}
		it := node.Item{Key: v.Key, Payload: v.Base64, Options: node.PutOptions{Tags: v.Tags}}
		if v.Text != nil {
			it.Payload = []byte(*v.Text)
		}
		if it.Options.TTL, err = ttl(v.TTL); err != nil {
			return err
		}
		if err := events.ValidateKey(v.Key); err != nil {
			return err
		}
		items = append(items, it)
	}
	ctx, cancel := s.deadline(r, c)
	defer cancel()
	t, err := s.cache.PutMany(ctx, items, c)
	return s.written(w, r, t, err)
}
