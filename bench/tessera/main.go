// SPDX-License-Identifier: GPL-3.0-or-later

// Loads a Tessera log so that ours can be measured beside it: its POSIX server over HTTP with many
// writers, and its POSIX storage in this process. Each prints one line of JSON.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

var (
	mode    = flag.String("mode", "", "keys, load or append")
	path    = flag.String("path", "", "keys: the private key's file, .pub is put beside it; append: the log's folder")
	key     = flag.String("key", "", "append: the private key's file")
	url     = flag.String("url", "", "load: where entries are POSTed")
	batch   = flag.Uint("batch", 1024, "append: entries a batch")
	writers = flag.Int("writers", 512, "writers at once")
	seconds = flag.Float64("seconds", 5, "how long they begin new entries")
	size    = flag.Int("size", 500, "bytes of an entry")
)

// result is what a run prints: entries that are durably sequenced, and milliseconds of one acknowledgement.
type result struct {
	Entries int     `json:"entries"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
}

func main() {
	flag.Parse()
	runs := map[string]func() error{"keys": keys, "load": load, "append": appendEntries}
	run, ok := runs[*mode]
	if !ok {
		log.Fatal("-mode has to be keys, load or append")
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func keys() error {
	private, public, err := note.GenerateKey(rand.Reader, "moneo.example/bench/tessera")
	if err != nil {
		return err
	}
	if err := os.WriteFile(*path, []byte(private), 0o600); err != nil {
		return err
	}
	return os.WriteFile(*path+".pub", []byte(public), 0o600)
}

// load POSTs entries one by one from all writers.
func load() error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: *writers, MaxIdleConnsPerHost: *writers}}
	return measure(func(entry []byte) error {
		answer, err := client.Post(*url, "application/octet-stream", bytes.NewReader(entry))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("the server answered %s", answer.Status)
		}
		return nil
	})
}

// appendEntries adds entries to a POSIX log in this process, without antispam.
func appendEntries() error {
	ctx := context.Background()
	secret, err := os.ReadFile(*key)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(string(secret))
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: *path})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(time.Second).
		WithBatching(*batch, 100*time.Millisecond).
		WithPushback(uint(4 * *writers))
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	if err := measure(func(entry []byte) error {
		_, err := appender.Add(ctx, tessera.NewEntry(entry))()
		return err
	}); err != nil {
		return err
	}
	return shutdown(ctx)
}

// measure has all writers add entries until the time is over, and prints the result.
func measure(add func([]byte) error) error {
	var all sync.WaitGroup
	latencies, failures := make([][]float64, *writers), make(chan error, *writers)
	filler := make([]byte, *size)
	if _, err := rand.Read(filler); err != nil {
		return err
	}
	began := time.Now()
	until := began.Add(time.Duration(*seconds * float64(time.Second)))
	for writer := range *writers {
		all.Add(1)
		go func() {
			defer all.Done()
			for number := 0; time.Now().Before(until); number++ {
				entry := bytes.Clone(filler)
				copy(entry, fmt.Sprintf("%d %d ", writer, number))
				before := time.Now()
				if err := add(entry); err != nil {
					failures <- err
					return
				}
				latencies[writer] = append(latencies[writer], time.Since(before).Seconds()*1000)
			}
		}()
	}
	all.Wait()
	took := time.Since(began).Seconds()
	select {
	case err := <-failures:
		return err
	default:
	}
	sorted := slices.Concat(latencies...)
	if len(sorted) == 0 {
		return fmt.Errorf("no entry was acknowledged")
	}
	slices.Sort(sorted)
	quantile := func(q float64) float64 { return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)] }
	return json.NewEncoder(os.Stdout).Encode(result{len(sorted), took, quantile(.5), quantile(.99)})
}
