package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/history"
)

// httpSurface is an HTTP client with one connection.
type httpSurface struct {
	name, base string
	client     *http.Client
}

var (
	_ surface   = (*httpSurface)(nil)
	_ publisher = (*httpSurface)(nil)
)

func newHTTP(e Endpoint, domain string) *httpSurface {
	return &httpSurface{e.Name, "http://" + e.HTTP + "/v1/" + domain, &http.Client{
		Transport: &http.Transport{MaxConnsPerHost: 1, IdleConnTimeout: time.Minute},
	}}
}

func (s *httpSurface) member() string { return s.name }
func (s *httpSurface) via() string    { return "http" }
func (s *httpSurface) close()         { s.client.CloseIdleConnections() }

// call returns the body of an answer that is one of success, and otherwise the
// problem's name.
func (s *httpSurface) call(ctx context.Context, method, where string, h http.Header, body []byte) (b []byte, token, problem string) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+where, bytes.NewReader(body))
	if err != nil {
		return nil, "", "error"
	}
	req.Header = h
	answer, err := s.client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, "", "timeout"
	} else if err != nil {
		return nil, "", "unreachable"
	}
	defer answer.Body.Close()
	b, err = io.ReadAll(answer.Body)
	token = answer.Header.Get("Tercet-Token")
	switch {
	case err != nil:
		return nil, "", "unreachable"
	case answer.StatusCode < 300 && answer.Header.Get("Tercet-Stale") != "":
		return nil, token, "stale"
	case answer.StatusCode < 300:
		return b, token, ""
	}
	var p struct{ Type string }
	if json.Unmarshal(b, &p) != nil || p.Type == "" {
		return nil, token, "error"
	}
	return nil, token, p.Type[strings.LastIndexByte(p.Type, ':')+1:]
}

// problems are the words for the problems that a node names.
var problems = map[string]string{
	"not-serving": "refused", "overloaded": "refused", "not-landed": "refused",
	"indeterminate": "indeterminate", "timeout": "timeout", "unreachable": "unreachable", "stale": "stale",
}

func trouble(problem string) string {
	if t, ok := problems[problem]; ok {
		return t
	}
	return "error"
}

func (s *httpSurface) header(r read) http.Header {
	h := http.Header{}
	switch {
	case r.level == "session" && r.token == "":
		h.Set("Tercet-Level", "eventual")
	case r.level == "bounded":
		h.Set("Tercet-Level", "bounded "+strconv.FormatInt(r.bound.Milliseconds(), 10))
	default:
		h.Set("Tercet-Level", r.level)
	}
	if r.token != "" {
		h.Set("Tercet-Token", r.token)
	}
	return h
}

func (s *httpSurface) get(ctx context.Context, key string, r read) answer {
	b, token, problem := s.call(ctx, http.MethodGet, "/keys/"+url.PathEscape(key), s.header(r), nil)
	switch problem {
	case "":
		a := found(key, b)
		a.token = token
		return a
	case "not-found":
		return answer{outcome: history.Miss, token: token}
	}
	return answer{trouble: trouble(problem)}
}

func (s *httpSurface) getMany(ctx context.Context, keys []string, r read) []answer {
	out := make([]answer, len(keys))
	body, _ := json.Marshal(map[string][]string{"keys": keys}) // strings only
	b, token, problem := s.call(ctx, http.MethodPost, "/batch/get", s.header(r), body)
	var got struct {
		Values []struct {
			Key   string
			Text  *string
			Stale bool
			Error *struct{ Type string }
		}
	}
	if problem == "" && json.Unmarshal(b, &got) != nil {
		problem = "error"
	}
	for i, key := range keys {
		if problem != "" {
			out[i] = answer{trouble: trouble(problem)}
			continue
		}
		out[i] = answer{outcome: history.Miss, token: token}
		for _, v := range got.Values {
			switch {
			case v.Key != key:
			case v.Error != nil || v.Stale || v.Text == nil:
				out[i] = answer{trouble: "refused"}
			default:
				out[i] = found(key, []byte(*v.Text))
				out[i].token = token
			}
		}
	}
	return out
}

func (s *httpSurface) written(b []byte, token, problem string) answer {
	switch problem {
	case "":
		return answer{outcome: history.Done, token: token}
	case "not-landed":
		return answer{outcome: history.Nothing, trouble: "refused"}
	}
	return answer{trouble: trouble(problem)}
}

func (s *httpSurface) set(ctx context.Context, key string, value int64, token string, everywhere bool) answer {
	h := http.Header{"Tercet-Ttl": {"3600"}, "Tercet-Tags": {tagOf(key)}}
	if everywhere {
		h.Set("Tercet-Concern", "everywhere")
	}
	if token != "" {
		h.Set("Tercet-Token", token)
	}
	return s.written(s.call(ctx, http.MethodPut, "/keys/"+url.PathEscape(key), h, encode(key, value)))
}

func (s *httpSurface) invalidate(ctx context.Context, sc events.Scope, token string, everywhere bool) answer {
	in := map[string]any{}
	for name, list := range map[string][]string{"keys": sc.Keys, "tags": sc.Tags, "prefixes": sc.Prefixes} {
		if len(list) > 0 {
			in[name] = list
		}
	}
	if sc.All {
		in["all"] = true
	}
	if everywhere {
		in["concern"] = "everywhere"
	}
	h := http.Header{"Content-Type": {"application/json"}}
	if token != "" {
		h.Set("Tercet-Token", token)
	}
	body, _ := json.Marshal(in) // strings and booleans
	return s.written(s.call(ctx, http.MethodPost, "/invalidate", h, body))
}

func (s *httpSurface) publish(ctx context.Context, id, kind string, data map[string]string) answer {
	body, _ := json.Marshal(data)
	h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-Source": {eventSource}, "Ce-Type": {kind}, "Content-Type": {"application/json"}}
	return s.written(s.call(ctx, http.MethodPost, "/events", h, body))
}
