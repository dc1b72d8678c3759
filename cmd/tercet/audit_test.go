package main

import (
	"encoding/json"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A copy that differs for a moment is not blamed; one that stays wrong is.
func TestAuditBlamesWhatStaysWrong(t *testing.T) {
	t.Setenv("TERCET_DOMAIN", "shop")
	defer nethttp.DefaultClient.CloseIdleConnections()
	var mu sync.Mutex
	asked := map[string]int{}
	cache := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		mu.Lock()
		defer mu.Unlock()
		key := strings.TrimPrefix(r.URL.Path, "/v1/shop/keys/")
		asked[key]++
		switch {
		case key == "missing":
			w.WriteHeader(404)
			fmt.Fprint(w, `{"type":"urn:tercet:problem:not-found","title":"No live copy of this key"}`)
		case key == "late" && asked[key] < 3, key == "wrong", key == "gone":
			fmt.Fprint(w, "old")
		case key == "busy":
			fmt.Fprint(w, asked[key])
		default:
			fmt.Fprint(w, "new")
		}
	}))
	defer cache.Close()
	origin := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/gone" {
			w.WriteHeader(404)
			return
		}
		fmt.Fprint(w, "new")
	}))
	defer origin.Close()
	flags := []string{"--node", cache.URL, "--origin", origin.URL + "/{key}", "--json"}
	var v auditView
	if err := json.Unmarshal([]byte(must(t, append([]string{"audit", "right", "late", "missing", "busy"}, flags...)...)), &v); err != nil {
		t.Fatal(err)
	}
	if v.Asked != 4 || v.Checked != 2 || v.NotHeld != 1 || v.Unsettled != 1 || len(v.Stale) != 0 {
		t.Errorf("%+v", v)
	}
	out, problem, code := cli(t, "", append([]string{"audit", "right", "wrong", "gone"}, flags...)...)
	if code != codeFailed || !strings.Contains(problem, "2 of 3") {
		t.Errorf("code %d, %s%s", code, out, problem)
	}
	if _, _, code := cli(t, "", "audit", "k", "--node", cache.URL); code != codeUsage {
		t.Errorf("without an origin: code %d", code)
	}
}
