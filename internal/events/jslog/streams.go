package jslog

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
)

const (
	// DuplicateWindow is how long the server remembers a record's id. Within
	// it a publish that is repeated lands once.
	DuplicateWindow = 2 * time.Minute
	// CopyBytes bounds the stream of copy events; the oldest are discarded.
	CopyBytes = 256 << 20
	// WorkBytes bounds the stream of work; the oldest is discarded.
	WorkBytes = 64 << 20
	// WorkAge is how long a request for work is of interest.
	WorkAge = time.Hour
)

// settingsKey names the domain's settings in the metadata of each of its logs.
// The first log's are the ones that count; the others must agree.
const settingsKey = "tercet.settings"

// LogStream returns the name of a partition's stream.
func LogStream(domain string, partition int) string {
	return fmt.Sprintf("TERCET_%s_LOG_%d", domain, partition)
}

// LogSubject returns the subject of a partition's records.
func LogSubject(domain string, partition int) string {
	return fmt.Sprintf("tercet.%s.log.%d", domain, partition)
}

// CopyStream returns the name of the stream of copy events.
func CopyStream(domain string) string { return "TERCET_" + domain + "_COPY" }

// WorkStream returns the name of the stream of warm and load requests.
func WorkStream(domain string) string { return "TERCET_" + domain + "_WORK" }

// streams returns what a domain is made of: its logs, in order, then copies
// and work. deploy/nats/streams says the same to operators.
func streams(domain string, s events.Settings) ([]jetstream.StreamConfig, error) {
	settings, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode settings of domain %q: %w", domain, err)
	}
	var all []jetstream.StreamConfig
	for p := range s.Partitions {
		c := stream(LogStream(domain, p), LogSubject(domain, p), s.Replicas)
		c.MaxAge = s.Retention()
		c.Duplicates = min(DuplicateWindow, c.MaxAge)
		c.DenyDelete = true
		c.DenyPurge = true
		c.Metadata = map[string]string{settingsKey: string(settings)}
		all = append(all, c)
	}
	copies := stream(CopyStream(domain), "tercet."+domain+".copy.>", s.Replicas)
	copies.MaxAge = s.MaxTTL
	copies.Duplicates = min(DuplicateWindow, copies.MaxAge)
	copies.MaxBytes = CopyBytes
	work := stream(WorkStream(domain), "tercet."+domain+".work.>", s.Replicas)
	work.Retention = jetstream.WorkQueuePolicy
	work.MaxAge = WorkAge
	work.Duplicates = DuplicateWindow
	work.MaxBytes = WorkBytes
	return append(all, copies, work), nil
}

func stream(name, subject string, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              name,
		Subjects:          []string{subject},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardOld,
		Replicas:          replicas,
		MaxConsumers:      -1,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        -1,
		AllowDirect:       false,
	}
}
