// Package natslink carries warming over NATS: summaries of reads as core
// messages, which may be lost, on tercet.<domain>.access; requests through the
// work queue of the domain's stream TERCET_<domain>_WORK on
// tercet.<domain>.work.load, which every worker consumes under one durable
// name.
//
// It creates no stream: a domain that doesn't exist is waited for.
package natslink
