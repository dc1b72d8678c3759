package httpapi

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/server"
)

func TestBatches(t *testing.T) {
	inDomains(t, func(t *testing.T, s running) {
		s.expect(204, "POST", "/v1/shop/batch/put", `{"values":[
			{"key":"a","value":"text","ttl":"90s","tags":["t"]}, {"key":"b","value_base64":"/wA="}, {"key":"empty"}], "concern":"everywhere"}`)
		if put := s.cache.LastPut(); put.Concern != node.Everywhere {
			t.Errorf("put %+v", put)
		}
		_, body := s.expect(200, "POST", "/v1/shop/batch/get", `{"keys":["b","none","a","empty"]}`, "Tercet-Level", "strong")
		var out struct{ Values []value }
		if err := json.Unmarshal([]byte(body), &out); err != nil || len(out.Values) != 3 {
			t.Fatalf("%s, %v", body, err)
		}
		b, a := out.Values[0], out.Values[1]
		if b.Key != "b" || string(b.Base64) != "\xff\x00" || b.Text != nil {
			t.Errorf("%+v", b)
		}
		if ttl, err := time.ParseDuration(a.TTL); a.Text == nil || *a.Text != "text" || !slices.Equal(a.Tags, []string{"t"}) || err != nil || ttl > 90*time.Second {
			t.Errorf("%+v", a)
		}
		s.cache.Fail(node.ErrNotServing)
		if _, body := s.expect(200, "POST", "/v1/shop/batch/get", `{"keys":["a"]}`); !strings.Contains(body, "not-serving") {
			t.Errorf("a node that does not serve: %s", body)
		}
		for _, bad := range []string{`{"keys":1}`, `{"key":["a"]}`, `{}{}`, `{"keys":[` + strings.Repeat(`"k",`, 1024) + `"k"]}`} {
			s.expect(400, "POST", "/v1/shop/batch/get", bad)
		}
		for _, bad := range []string{`{"values":[{"key":""}]}`, `{"values":[{"key":"a","value":"x","value_base64":"eA=="}]}`, `{"values":[{"key":"a"},{"key":"a"}]}`, `{"values":[{"key":"a","ttl":"x"}]}`} {
			s.cache.Fail(nil)
			s.expect(400, "POST", "/v1/shop/batch/put", bad)
		}
		s.expect(400, "GET", "/v1/shop/keys/a", "", "Tercet-Fallback", "anything")
		s.expect(200, "GET", "/v1/shop/keys/a", "", "Tercet-Fallback", "soft")
		s.expect(204, "POST", "/v1/shop/invalidate", `{"keys":["a"],"source_position":"16/B374D848"}`)
		if inv, _ := s.cache.LastFence(); inv.Source != "16/B374D848" {
			t.Errorf("%+v", inv)
		}
	})
}

func TestBrackets(t *testing.T) {
	s := start(t, Config{})
	id := events.BracketID{7}
	s.cache.Open(node.OpenBracket{
		Bracket: coherence.Bracket{ID: id, Scope: events.Scope{Keys: []string{"k"}, Tags: []string{"t"}}, Deadline: 1000, Writer: "node-a", Decider: "orders"},
		Age:     time.Minute, Overdue: true,
	})
	_, body := s.expect(200, "GET", "/v1/shop/brackets", "")
	for _, want := range []string{`"id":"` + id.String() + `"`, `"keys":["k"]`, `"tags":["t"]`, `"age_ms":60000`, `"overdue":true`, `"writer":"node-a"`, `"decider":"orders"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s does not say %s", body, want)
		}
	}
	path := "/v1/shop/brackets/" + id.String() + "/resolve"
	s.expect(400, "POST", path, `{}`)
	s.expect(400, "POST", path, `{"commit_is_impossible":false}`)
	s.expect(400, "POST", "/v1/shop/brackets/xyz/resolve", `{"commit_is_impossible":true}`)
	if n := len(s.cache.Brackets()); n != 1 {
		t.Fatalf("%d brackets are open, want 1: nobody has said that the commit is impossible", n)
	}
	s.expect(204, "POST", path, `{"commit_is_impossible":true}`)
	s.expect(404, "POST", path, `{"commit_is_impossible":true}`)
}

func TestBracketsNeedTheToken(t *testing.T) {
	s := start(t, Config{Token: server.NewSecret("s3cret")})
	s.expect(401, "GET", "/v1/shop/brackets", "")
	s.expect(401, "POST", "/v1/shop/brackets/"+events.BracketID{7}.String()+"/resolve", `{"commit_is_impossible":true}`)
}
