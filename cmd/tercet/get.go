package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/pkg/client"
)

func (a *app) getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get KEY", Short: "Read a cached value",
		Long: `get asks a running node (--node), or joins the domain as a node of its own for
this one read, in memory: it then finds what lies in Redis. A miss is exit code
3; get never asks an origin.

The value's bytes go to standard output as they are. With --json they are text in
"value", or base64 in "value_base64" where they are no text.`,
		Example: `  tercet get product:1:price --node http://127.0.0.1:8080
  tercet get product:1:price --level strong --json
  tercet get product:1:price --level "bounded 500"`,
		Args: args(cobra.ExactArgs(1)),
	}
	address := cmd.Flags().String("node", "", "ask this node's HTTP interface, as http://host:8080; with http.token, if it wants one (TERCET_HTTP_TOKEN)")
	words := cmd.Flags().String("level", "", "how fresh: eventual, bounded [ms], session TOKEN or strong (default: bounded by the domain's lease)")
	cmd.RunE = a.run([]string{"domain"}, func(ctx context.Context, c *config.Config, args []string) error {
		if *words != "" {
			if _, err := consistency.ParseLevel(*words); err != nil {
				return usagef("%v", err)
			}
		}
		read := fromNode(*address)
		if *address == "" {
			if err := c.Need("nats.url"); err != nil {
				return err
			}
			read = joining
		}
		v, err := read(ctx, c, args[0], *words)
		if err != nil {
			return err
		}
		return a.print(v, func(w io.Writer) { _, _ = w.Write(v.bytes) }) // a pipe that closed has read enough
	})
	return cmd
}

// valueView is a value as programs read it.
type valueView struct {
	Key    string   `json:"key"`
	Text   *string  `json:"value,omitempty"`
	Base64 []byte   `json:"value_base64,omitempty"`
	Source string   `json:"source"`
	Tags   []string `json:"tags,omitempty"`
	// TTL is the rest of its life in seconds; absent: without end.
	TTL   *int64 `json:"ttl_seconds,omitempty"`
	Stale bool   `json:"stale,omitempty"`

	bytes []byte
}

func (v *valueView) hold(b []byte) {
	v.bytes = b
	if utf8.Valid(b) {
		s := string(b)
		v.Text = &s
		return
	}
	v.Base64 = b
}

// joining reads through a node of its own.
func joining(ctx context.Context, c *config.Config, key, words string) (valueView, error) {
	n, err := join(ctx, c)
	if err != nil {
		return valueView{}, err
	}
	defer leave(ctx, n)
	var opts []client.ReadOption
	if words != "" {
		l, err := consistency.ParseLevel(words)
		if err != nil {
			return valueView{}, usagef("%v", err)
		}
		opts = append(opts, client.At(l))
	}
	got, err := n.Get(ctx, key, opts...)
	if err != nil {
		return valueView{}, err
	}
	v := valueView{Key: key, Source: got.Source, Tags: got.Tags, Stale: got.Stale}
	v.hold(got.Bytes)
	if !got.Expires.IsZero() {
		left := int64(max(0, time.Until(got.Expires)).Round(time.Second) / time.Second)
		v.TTL = &left
	}
	return v, nil
}

// join makes this process a member of the domain for a moment.
func join(ctx context.Context, c *config.Config) (*client.Client, error) {
	redis, err := link.RedisURL(c.Redis)
	if err != nil {
		return nil, err
	}
	redisTLS, err := link.RedisTLS(c.Redis)
	if err != nil {
		return nil, err
	}
	return client.Open(ctx, client.Config{
		Domain: c.Domain, NATSURL: c.NATS.URL, NATS: link.Options(c.NATS), RedisURL: redis, RedisTLS: redisTLS,
		Guest: true, DefaultTTL: c.DefaultTTL, L1Size: 1 << 20, L3Size: 16 << 20, DiskCache: 1 << 20,
		Logger: slog.New(slog.DiscardHandler), // what goes wrong comes back as an error
	})
}

func leave(ctx context.Context, n *client.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	_ = n.Close(ctx) // the lease ends membership too
}

// maxAnswer bounds what is read of a node's answer.
const maxAnswer = 64 << 20

var errNode = errors.New("the node refused")

// fromNode reads over a node's HTTP interface.
func fromNode(address string) func(context.Context, *config.Config, string, string) (valueView, error) {
	return func(ctx context.Context, c *config.Config, key, words string) (valueView, error) {
		base, err := url.Parse(address)
		if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
			return valueView{}, usagef("--node %q: want a URL, as in http://127.0.0.1:8080", address)
		}
		target := strings.TrimSuffix(address, "/") + "/v1/" + url.PathEscape(c.Domain) + "/keys/" + url.PathEscape(key)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return valueView{}, usagef("--node %q: %v", address, err)
		}
		if words != "" {
			// A token travels in a header of its own.
			if level, token, ok := strings.Cut(words, " "); ok && strings.EqualFold(level, "session") {
				req.Header.Set("Tercet-Token", token)
				words = level
			}
			req.Header.Set("Tercet-Level", words)
		}
		if c.HTTP.Token != "" {
			req.Header.Set("Authorization", "Bearer "+c.HTTP.Token)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return valueView{}, err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err != nil {
			return valueView{}, err
		}
		if res.StatusCode != http.StatusOK {
			return valueView{}, refused(fmt.Sprintf("get %q", key), res.StatusCode, body)
		}
		v := valueView{Key: key, Source: res.Header.Get("Tercet-Source"), Stale: res.Header.Get("Tercet-Stale") == "true"}
		v.hold(body)
		if t := res.Header.Get("Tercet-Tags"); t != "" {
			v.Tags = strings.Split(t, ",")
		}
		if left, err := strconv.ParseInt(res.Header.Get("Tercet-TTL"), 10, 64); err == nil {
			v.TTL = &left
		}
		return v, nil
	}
}

// refused makes an error of a problem document (RFC 9457).
func refused(what string, status int, body []byte) error {
	var p struct{ Type, Title, Detail string }
	if json.Unmarshal(body, &p) != nil || p.Title == "" {
		p.Title = http.StatusText(status)
	}
	switch {
	case strings.HasSuffix(p.Type, ":not-found"):
		return fmt.Errorf("%s: %w", what, node.ErrNotFound)
	case status == http.StatusServiceUnavailable:
		return fmt.Errorf("%s: %w: %s", what, node.ErrNotServing, p.Detail)
	}
	return fmt.Errorf("%s: %w: %d %s %s", what, errNode, status, p.Title, p.Detail)
}
