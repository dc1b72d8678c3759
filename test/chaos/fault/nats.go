package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/backup"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/test/chaos/fleet"
)

var _ = register(
	Kind{Name: "leader-change", What: "have the log's leader step down", Target: "log", Inject: stepDown},
	Kind{Name: "log-recreated", What: "delete the domain's logs and create them anew", Target: "log", Inject: recreate},
	Kind{Name: "log-rolled-back", What: "bring the logs back as they were a while ago, and say nothing of it", Target: "log",
		With: map[string]string{"age": "4s"}, Inject: rollBack},
	Kind{Name: "log-restored", What: "restore the domain from a backup of a while ago, as an operator does", Target: "log",
		With: map[string]string{"age": "4s"}, Inject: restoreBackup},
	Kind{Name: "log-truncated", What: "kill a NATS server, cut the tail off its copy of the log, start it again", Target: "a NATS server",
		With: map[string]string{"bytes": "2000"}, Inject: truncate},
)

func logState(ctx context.Context, f *fleet.Fleet) (*jetstream.StreamInfo, error) {
	// Who is asked while there is no leader does not answer: better ask again.
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	js, err := jetstream.New(f.Conn())
	if err != nil {
		return nil, err
	}
	s, err := js.Stream(ctx, f.Streams()[0])
	if err != nil {
		return nil, err
	}
	return s.Info(ctx)
}

// awaitLog waits until somebody leads the log again.
func awaitLog(ctx context.Context, f *fleet.Fleet) error {
	return eventually(ctx, time.Minute, func() error {
		info, err := logState(ctx, f)
		if err == nil && info.Cluster != nil && info.Cluster.Leader == "" {
			err = errors.New("nobody leads the log")
		}
		return err
	})
}

func logLeader(f *fleet.Fleet) (string, error) {
	info, err := logState(context.Background(), f)
	if err != nil {
		return "", err
	}
	if info.Cluster == nil {
		return "", fmt.Errorf("%w: nobody leads the log", ErrNotHere)
	}
	if info.Cluster.Leader == "" {
		return "", errors.New("nobody leads the log at the moment")
	}
	return info.Cluster.Leader, nil
}

func stepDown(ctx context.Context, s Scene) (Injection, error) {
	if s.Fleet.Shape().NATS < 2 {
		return Injection{}, fmt.Errorf("%w: a single server leads for ever", ErrNotHere)
	}
	before, err := logLeader(s.Fleet)
	if err != nil {
		return Injection{}, err
	}
	answer, err := s.Fleet.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+s.Fleet.Streams()[0], nil)
	if err != nil {
		return Injection{}, err
	}
	var said struct {
		Success bool `json:"success"`
		Error   *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &said); err != nil {
		return Injection{}, err
	}
	if !said.Success {
		return Injection{}, fmt.Errorf("%w: %s", ErrNoEffect, answer.Data)
	}
	var after string
	err = eventually(ctx, time.Minute, func() (err error) {
		if after, err = logLeader(s.Fleet); err == nil && after == before {
			err = fmt.Errorf("%w: %s still leads", ErrNoEffect, before)
		}
		return err
	})
	return Injection{Target: before, What: "had it step down as the log's leader", Proof: after + " leads now, " + before + " did before"}, err
}

// last is the log's last sequence and when the stream was created.
func last(ctx context.Context, f *fleet.Fleet) (uint64, time.Time, error) {
	info, err := logState(ctx, f)
	if err != nil {
		return 0, time.Time{}, err
	}
	return info.State.LastSeq, info.Created, nil
}

func recreate(ctx context.Context, s Scene) (Injection, error) {
	js, err := jetstream.New(s.Fleet.Conn())
	if err != nil {
		return Injection{}, err
	}
	seq, created, err := last(ctx, s.Fleet)
	if err != nil {
		return Injection{}, err
	}
	for _, name := range s.Fleet.Streams() {
		if err := js.DeleteStream(ctx, name); err != nil {
			return Injection{}, err
		}
	}
	err = eventually(ctx, time.Minute, func() error {
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return jslog.Create(within, s.Fleet.Conn(), fleet.Domain, s.Fleet.Settings())
	})
	if err != nil {
		return Injection{}, err
	}
	seqNow, createdNow, err := last(ctx, s.Fleet)
	if err == nil && createdNow.Equal(created) {
		err = fmt.Errorf("%w: the stream is as old as it was", ErrNoEffect)
	}
	return Injection{
		What: "deleted the logs and created them anew", History: true,
		Proof: fmt.Sprintf("its last record is %d, was %d; created %s, was %s", seqNow, seq, createdNow.Format(time.TimeOnly), created.Format(time.TimeOnly)),
		Heal:  func(ctx context.Context) error { return awaitLog(ctx, s.Fleet) },
	}, err
}

func rollBack(ctx context.Context, s Scene) (Injection, error) {
	return fromBackup(ctx, s, "brought the logs back as they were, and said nothing", func(dir string) error {
		return backup.RollBack(ctx, s.Fleet.Conn(), dir)
	})
}

func restoreBackup(ctx context.Context, s Scene) (Injection, error) {
	return fromBackup(ctx, s, "restored the domain from a backup", func(dir string) error {
		_, _, err := backup.Restore(ctx, s.Fleet.Conn(), dir, true)
		return err
	})
}

// fromBackup takes a backup, lets the fleet go on, and has the logs replaced.
func fromBackup(ctx context.Context, s Scene, what string, replace func(dir string) error) (Injection, error) {
	age, err := s.duration("age")
	if err != nil {
		return Injection{}, err
	}
	parent, err := os.MkdirTemp(s.Fleet.Dir(), "backup-")
	if err != nil {
		return Injection{}, err
	}
	dir := filepath.Join(parent, "taken")
	m, err := backup.Take(ctx, s.Fleet.Conn(), fleet.Domain, dir, nil)
	if err != nil {
		return Injection{}, err
	}
	if err := Wait(ctx, age); err != nil {
		return Injection{}, err
	}
	seq, _, err := last(ctx, s.Fleet)
	if err != nil {
		return Injection{}, err
	}
	held := uint64(m.Logs[0].Last)
	if seq <= held {
		return Injection{}, fmt.Errorf("%w: nothing was written since the backup (%d records)", ErrNoEffect, seq)
	}
	// Servers that are busy electing a leader take nothing: an operator tries again.
	var since time.Time
	if err := eventually(ctx, time.Minute, func() error { since = time.Now(); return replace(dir) }); err != nil {
		return Injection{}, err
	}
	return Injection{
		What: what, History: true, Since: since,
		Proof: fmt.Sprintf("the backup ended at %d, the log at %d: %d records are lost", held, seq, seq-held),
		Heal:  func(ctx context.Context) error { return awaitLog(ctx, s.Fleet) },
	}, nil
}

// truncate damages one server's copy of the first log, as a disk does that lost
// what it had promised to keep.
func truncate(_ context.Context, s Scene) (Injection, error) {
	cut, err := s.number("bytes")
	if err != nil {
		return Injection{}, err
	}
	if s.Fleet.Shape().NATS < 3 {
		return Injection{}, fmt.Errorf("%w: no other server has the log", ErrNotHere)
	}
	if _, err := s.Fleet.Kill(s.Target); err != nil {
		return Injection{}, err
	}
	in := Injection{
		What: "cut the tail off its copy of the log while it was down", Restarts: true,
		Heal: func(ctx context.Context) error { return restart(ctx, s.Fleet, s.Target) },
	}
	file, size, err := lastBlock(s.Fleet.Data(s.Target), s.Fleet.Streams()[0])
	if err != nil {
		return in, err
	}
	left := max(size-int64(cut), 0)
	if err := os.Truncate(file, left); err != nil {
		return in, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return in, err
	}
	if info.Size() >= size {
		return in, fmt.Errorf("%w: %s has %d bytes", ErrNoEffect, file, info.Size())
	}
	in.Proof = fmt.Sprintf("%s has %d bytes, had %d", filepath.Base(file), info.Size(), size)
	return in, nil
}

// lastBlock finds the newest block of a stream that holds something.
func lastBlock(store, stream string) (file string, size int64, err error) {
	err = filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".blk" || !strings.Contains(path, "/"+stream+"/msgs/") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > 0 && (len(path) > len(file) || len(path) == len(file) && path > file) {
			file, size = path, info.Size()
		}
		return err
	})
	if err == nil && file == "" {
		err = fmt.Errorf("%w: no block of %s below %s", ErrNotHere, stream, store)
	}
	return file, size, err
}
