package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/raptorflow/tercet/test/chaos/wire"
)

// member is a process of ours: a node, an invalidator, a warmer.
type member struct {
	*program
	resp string
}

// addPaths gives name, on its host, its own way to each server.
func (f *Fleet) addPaths(name string, host *wire.Host) error {
	for _, s := range f.nats {
		addr, err := f.addPath(name, host, s.name, s.client.addr)
		if err != nil {
			return err
		}
		f.natsFor[name] = append(f.natsFor[name], "nats://"+addr)
	}
	switch {
	case f.config.Shape.Redis == "single":
		addr, err := f.addPath(name, host, f.redis[0].name, f.redis[0].addr())
		if err != nil {
			return err
		}
		f.redisFor[name] = addr
	case host != nil:
		return f.addRedisPaths(name, host)
	}
	return nil
}

func letter(i int) string { return string(rune('a' + i)) }

func (f *Fleet) startMembers(ctx context.Context) error {
	for i := range Clients {
		if err := f.addPaths(fmt.Sprintf("client-%d", i), nil); err != nil {
			return err
		}
	}
	for i := range f.config.Shape.Nodes {
		if err := f.startNode(ctx, "node-"+letter(i)); err != nil {
			return err
		}
	}
	for i := range f.config.Shape.Invalidators {
		if err := f.startInvalidator(ctx, "invalidator-"+letter(i)); err != nil {
			return err
		}
	}
	for i := range f.config.Shape.Warmers {
		if err := f.startWarmer(ctx, "warmer-"+letter(i)); err != nil {
			return err
		}
	}
	for _, m := range f.members {
		if err := f.AwaitReady(ctx, m.name); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) newMember(name string, kind Kind, binary string) (*member, error) {
	m := &member{program: f.newProgram(name, kind, filepath.Join(f.config.Bin, binary))}
	if err := f.house(m.program); err != nil {
		return nil, err
	}
	if err := f.addPaths(name, m.host); err != nil {
		return nil, err
	}
	http, err := m.offer()
	if err != nil {
		return nil, err
	}
	m.http = http.addr
	m.env = []string{
		"TERCET_DOMAIN=" + Domain, "TERCET_NATS_URL=" + f.NATSURLFor(name), "TERCET_HTTP_ADDR=" + http.listen,
		"TERCET_REDIS_URL=" + f.RedisURLFor(name), "TERCET_LOG_LEVEL=info",
	}
	f.members = append(f.members, m)
	return m, nil
}

func (f *Fleet) startNode(_ context.Context, name string) error {
	m, err := f.newMember(name, Node, "node")
	if err != nil {
		return err
	}
	resp, err := m.offer()
	if err != nil {
		return err
	}
	disk, err := f.disk(name)
	if err != nil {
		return err
	}
	m.resp = resp.addr
	m.env = append(m.env, "TERCET_NODE_ID="+name, "TERCET_DATA_DIR="+disk, "TERCET_RESP_ADDR="+resp.listen,
		"TERCET_L1_SIZE=16MiB", "TERCET_L3_SIZE=256MiB", "TERCET_AUDIT_RATE=5", "TERCET_INVALIDATOR_TYPE_FIELD=type", "TERCET_INVALIDATOR_ID_FIELD=id")
	m.env = append(m.env, f.config.Env...)
	if m.host != nil {
		m.args = []string{"--insecure-listen"} // nobody else is on the switch
	}
	return m.start()
}

func (f *Fleet) startInvalidator(_ context.Context, name string) error {
	m, err := f.newMember(name, Invalidator, "invalidator")
	if err != nil {
		return err
	}
	rules := filepath.Join(f.config.Dir, "rules.yaml")
	if err := os.WriteFile(rules, f.config.Rules, 0o644); err != nil {
		return err
	}
	m.env = append(m.env, "TERCET_RULES="+rules, "TERCET_INVALIDATOR_ACK_WAIT=5s",
		"TERCET_INVALIDATOR_TYPE_FIELD=type", "TERCET_INVALIDATOR_ID_FIELD=id")
	return m.start()
}

func (f *Fleet) startWarmer(_ context.Context, name string) error {
	m, err := f.newMember(name, Warmer, "warmer")
	if err != nil {
		return err
	}
	m.env = append(m.env, "TERCET_NODE_ID="+name)
	if f.config.Origin != "" {
		m.env = append(m.env, "TERCET_WARMER_ORIGIN="+f.config.Origin)
	}
	return m.start()
}

// Ready asks a member whether it would serve.
func (f *Fleet) Ready(ctx context.Context, name string) error {
	m, err := f.member(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.http+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := f.web.Do(req)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", name, answer.Status)
	}
	return nil
}

// readyWithin is how long a member may take to catch up and join.
const readyWithin = 90 * time.Second

// AwaitReady waits until a member would serve.
func (f *Fleet) AwaitReady(ctx context.Context, name string) error {
	ended := false
	err := await(ctx, readyWithin, func() error {
		err := f.Ready(ctx, name)
		if ended = err != nil && f.Pid(name) == 0; ended {
			return nil // it won't be any more
		}
		return err
	})
	if ended {
		err = errors.New("it has ended")
	}
	if err != nil {
		return fmt.Errorf("%s is not ready: %w; see %s.log", name, err, filepath.Join(f.config.Dir, name))
	}
	return nil
}

func (f *Fleet) member(name string) (*member, error) {
	for _, m := range f.members {
		if m.name == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNobody, name)
}
