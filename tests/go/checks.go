// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// checkStep judges {"old", "new", "old_root", "new_root", "path"}: that one tree only grew into another (x/mod's tlog).
func checkStep(line []byte) (any, error) {
	var asked struct {
		Old, New int64
		OldRoot  string `json:"old_root"`
		NewRoot  string `json:"new_root"`
		Path     []string
	}
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, 0, len(asked.Path)+2)
	for _, text := range append([]string{asked.OldRoot, asked.NewRoot}, asked.Path...) {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return reason(tlog.CheckTree(hashes[2:], asked.New, hashes[1], asked.Old, hashes[0])), nil
}

// checkLeaf judges {"leaf", "index", "size", "root", "path"}: that data lies in a tree (x/mod's tlog).
func checkLeaf(line []byte) (any, error) {
	var asked struct {
		Leaf, Root  []byte
		Index, Size int64
		Path        [][]byte
	}
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	if len(asked.Root) != tlog.HashSize {
		return "the root is no hash", nil
	}
	return reason(checkPath(asked.Path, asked.Size, tlog.Hash(asked.Root), asked.Index, tlog.RecordHash(asked.Leaf))), nil
}

// checkSignature judges {"key", "message", "signature"} by Go's crypto/ed25519.
func checkSignature(line []byte) (any, error) {
	var asked struct{ Key, Message, Signature []byte }
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	if len(asked.Key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("a key of %d bytes", len(asked.Key))
	}
	return ed25519.Verify(asked.Key, asked.Message, asked.Signature), nil
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimSpace(err.Error())
}
