package jslog_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/test/process"
)

const deploy = "../../../deploy/nats"

// secrets are the environment that the configurations ask for.
var secrets = []string{
	"NATS_SERVER_NAME=nats-0", "TERCET_NODE_PASSWORD=n", "TERCET_INVALIDATOR_PASSWORD=i",
	"TERCET_WARMER_PASSWORD=w", "TERCET_CLI_PASSWORD=c", "NATS_SYS_PASSWORD=s",
}

func TestServerAcceptsDeployedConfigurations(t *testing.T) {
	for _, file := range []string{"single.conf", "cluster.conf"} {
		cmd := exec.Command(process.NATSBinary(t), "-t", "-c", filepath.Join(deploy, file))
		cmd.Env = append(os.Environ(), secrets...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

// What operators read in deploy/nats/streams is what Create makes.
func TestCreateMakesTheDeployedStreams(t *testing.T) {
	nc := dial(t, process.NATS(t).URL())
	s := events.DefaultSettings()
	s.Partitions = 2
	if err := jslog.Create(t.Context(), nc, domain, s); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range deployed(t, s) {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		made := stream.CachedInfo().Config
		if err := js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if stream, err = js.CreateStream(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		described := stream.CachedInfo().Config
		for _, c := range []jetstream.StreamConfig{made, described} {
			// The server notes here what it requires of other servers.
			maps.DeleteFunc(c.Metadata, func(k, _ string) bool { return strings.HasPrefix(k, "_nats.") })
		}
		if !reflect.DeepEqual(made, described) {
			t.Errorf("%s:\nmade      %+v\ndescribed %+v", name, made, described)
		}
	}
	// And a domain made by hand lacks its epochs only.
	if _, err := jslog.Open(t.Context(), nc, domain); !errors.Is(err, events.ErrNoDomain) {
		t.Errorf("open without epochs: %v", err)
	}
	if err := jslog.Create(t.Context(), nc, domain, s); err != nil {
		t.Fatal(err)
	}
	open(t, nc)
}

// deployed fills in the stream templates, as envsubst does.
func deployed(t *testing.T, s events.Settings) map[string]jetstream.StreamConfig {
	t.Helper()
	settings, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(string(settings))
	if err != nil {
		t.Fatal(err)
	}
	fill := func(file string, partition int) jetstream.StreamConfig {
		text, err := os.ReadFile(filepath.Join(deploy, "streams", file))
		if err != nil {
			t.Fatal(err)
		}
		filled := os.Expand(string(text), func(name string) string {
			switch name {
			case "DOMAIN":
				return domain
			case "PARTITION":
				return strconv.Itoa(partition)
			case "REPLICAS":
				return strconv.Itoa(s.Replicas)
			case "RETENTION_NS":
				return strconv.FormatInt(int64(s.Retention()), 10)
			case "MAX_TTL_NS":
				return strconv.FormatInt(int64(s.MaxTTL), 10)
			case "SETTINGS":
				return string(quoted)
			}
			t.Errorf("%s asks for %s", file, name)
			return ""
		})
		d := json.NewDecoder(strings.NewReader(filled))
		d.DisallowUnknownFields()
		var c jetstream.StreamConfig
		if err := d.Decode(&c); err != nil {
			t.Fatalf("%s: %v\n%s", file, err, filled)
		}
		return c
	}
	all := map[string]jetstream.StreamConfig{}
	for p := range s.Partitions {
		all[jslog.LogStream(domain, p)] = fill("log.json.tmpl", p)
	}
	all[jslog.CopyStream(domain)] = fill("copy.json.tmpl", 0)
	all[jslog.WorkStream(domain)] = fill("work.json.tmpl", 0)
	return all
}

func TestRolesCanDoTheirWorkAndNoMore(t *testing.T) {
	accounts, err := os.ReadFile(filepath.Join(deploy, "accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(accounts)
	for _, s := range secrets {
		name, value, _ := strings.Cut(s, "=")
		text = strings.ReplaceAll(text, "$"+name, value)
	}
	server := process.NATS(t, process.ServerConfig(text), process.LoginAs("cli", "c"))
	as := func(user, password string) *nats.Conn {
		nc, err := nats.Connect(server.URL(), nats.UserInfo(user, password),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // refusals are expected
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	if err := jslog.Create(t.Context(), as("cli", "c"), domain, events.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	for _, role := range []struct {
		user, password string
		writes         bool
	}{{"node", "n", true}, {"invalidator", "i", true}, {"warmer", "w", false}} {
		t.Run(role.user, func(t *testing.T) {
			nc := as(role.user, role.password)
			d := open(t, nc)
			enough := errors.New("enough")
			if err := d.Log(0).Follow(t.Context(), events.Mark{}, func([]events.Delivery) error { return enough }); err != enough {
				t.Errorf("follow: %v", err)
			}
			id := events.ID{Publisher: events.Incarnation{role.password[0]}, Counter: 1}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if _, err := d.Log(0).Publish(ctx, id, []byte("x")); (err == nil) != role.writes {
				t.Errorf("publish: %v, may write: %v", err, role.writes)
			}
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			short, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer stop()
			if err := js.DeleteStream(short, jslog.LogStream(domain, 0)); err == nil {
				t.Error("could delete the log")
			}
			if _, err := js.UpdateStream(short, jetstream.StreamConfig{Name: jslog.LogStream(domain, 0)}); err == nil {
				t.Error("could edit the log")
			}
		})
	}
	open(t, as("cli", "c")) // it is still there, as it was

	// Copies are the nodes' own business.
	send := func(user, password string) error {
		js, err := jetstream.New(as(user, password))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err = js.Publish(ctx, "tercet."+domain+".copy.node", []byte("x"), jetstream.WithExpectStream(jslog.CopyStream(domain)))
		return err
	}
	if err := send("node", "n"); err != nil {
		t.Errorf("a node can't send copies: %v", err)
	}
	for user, password := range map[string]string{"invalidator": "i", "warmer": "w"} {
		if send(user, password) == nil {
			t.Errorf("the %s could send copies", user)
		}
	}
	nc := as("node", "n")
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	copies, err := js.CreateConsumer(t.Context(), jslog.CopyStream(domain), jetstream.ConsumerConfig{
		FilterSubject: "tercet." + domain + ".copy.node", AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute,
	})
	if err != nil {
		t.Fatalf("a node can't follow its copies: %v", err)
	}
	if m, err := copies.Next(jetstream.FetchMaxWait(5 * time.Second)); err != nil || string(m.Data()) != "x" {
		t.Errorf("a node does not get its copies: %v", err)
	}
	if _, err := nc.Subscribe("tercet."+domain+".fetch.node", func(m *nats.Msg) { _ = m.Respond([]byte("y")) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := as("node", "n").Request("tercet."+domain+".fetch.node", nil, 5*time.Second); err != nil || string(m.Data) != "y" {
		t.Errorf("nodes can't ask each other: %v", err)
	}
}
