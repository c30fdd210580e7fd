// SPDX-License-Identifier: GPL-3.0-or-later

// Command judges lets Go packages of others judge what Moneo makes, and makes what Moneo has to accept. It reads JSON
// lines from standard input.
//
// What the sequencer makes is judged by CometBFT 0.38's light client (package light) and its rules for whole blocks
// (package state). The program ends with status 0 if every line stands up to them, with 1 and the reason otherwise:
//
//	judges light    light blocks in the JSON of CometBFT's RPC, heights ascending; the first
//	                is trusted, each next is verified from the one before it
//	judges blocks   a genesis document, then for each height from 1 a light block, the block's
//	                protobuf bytes, the results of its transactions and the app hash after it
//
// The others answer each line with a line:
//
//	judges evidence   an evidence file and a trust file: the links that are refused, with the reason
//	judges leaf       an inclusion in a tree: why it is refused, empty if it is not
//	judges step       a consistency of two trees: the same
//	judges signature  an Ed25519 signature: true or false
//	judges make-log   entries: a log with proofs
//	judges make-light powers: a light block
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cosmos/gogoproto/proto"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/libs/log"
	cmtmath "github.com/cometbft/cometbft/libs/math"
	"github.com/cometbft/cometbft/light"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/types"
)

const (
	maxLine        = 64 << 20
	trustingPeriod = 7 * 24 * time.Hour
	maxClockDrift  = 10 * time.Second
)

// trustLevel is what an era is left by: more than two thirds of the known validators.
var trustLevel = cmtmath.Fraction{Numerator: 2, Denominator: 3}

// lightBlock is what CometBFT's RPC gives at /commit and /validators.
type lightBlock struct {
	SignedHeader *types.SignedHeader `json:"signed_header"`
	Validators   []*types.Validator  `json:"validators"`
}

// height is one consensus height: how it was committed, what it was and what came of it.
type height struct {
	LightBlock json.RawMessage      `json:"light_block"`
	Block      []byte               `json:"block"`
	Results    []*abci.ExecTxResult `json:"results"`
	AppHash    []byte               `json:"app_hash"`
}

func main() {
	modes := map[string]func(*lines) (int, error){
		"light":      judgeLight,
		"blocks":     judgeBlocks,
		"evidence":   answering(judgeEvidence),
		"leaf":       answering(checkLeaf),
		"step":       answering(checkStep),
		"signature":  answering(checkSignature),
		"make-log":   answering(makeLog),
		"make-light": answering(makeLight),
	}
	if len(os.Args) != 2 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: judges MODE < lines.json")
		os.Exit(2)
	}
	count, err := modes[os.Args[1]](newLines(os.Stdin))
	if err != nil {
		fmt.Fprintf(os.Stderr, "refused after %d: %v\n", count, err)
		os.Exit(1)
	}
	if os.Args[1] == "light" || os.Args[1] == "blocks" {
		fmt.Printf("accepted %d\n", count)
	}
}

// answering is a mode that answers each line by itself.
func answering(answer func([]byte) (any, error)) func(*lines) (int, error) {
	return func(in *lines) (int, error) {
		return in.each(func(line []byte) error {
			said, err := answer(line)
			if err != nil {
				return err
			}
			written, err := json.Marshal(said)
			if err == nil {
				fmt.Printf("%s\n", written)
			}
			return err
		})
	}
}

func judgeLight(in *lines) (int, error) {
	var trusted *types.LightBlock
	return in.each(func(line []byte) error {
		block, err := decodeLight(line)
		if err != nil {
			return err
		}
		if trusted == nil {
			err = block.ValidateBasic(block.ChainID)
		} else {
			err = verify(trusted, block)
		}
		trusted = block
		return err
	})
}

func verify(trusted, next *types.LightBlock) error {
	if err := next.ValidateBasic(trusted.ChainID); err != nil {
		return err
	}
	// VerifyAdjacent where the heights follow each other, VerifyNonAdjacent where they don't.
	return light.Verify(trusted.SignedHeader, trusted.ValidatorSet, next.SignedHeader,
		next.ValidatorSet, trustingPeriod, time.Now(), maxClockDrift, trustLevel)
}

func judgeBlocks(in *lines) (int, error) {
	line, err := in.next()
	if err != nil {
		return 0, err
	}
	genesis, err := types.GenesisDocFromJSON(line)
	if err != nil {
		return 0, err
	}
	state, err := sm.MakeGenesisState(genesis)
	if err != nil {
		return 0, err
	}
	// As the handshake with an application does before the first block.
	state.LastResultsHash = types.NewResults(nil).Hash()
	executor := sm.NewBlockExecutor(nil, log.NewNopLogger(), nil, nil, sm.EmptyEvidencePool{}, nil)
	return in.each(func(line []byte) error {
		state, err = judgeHeight(executor, state, line)
		return err
	})
}

// judgeHeight validates a block as a validator does that is asked to vote for it, then its commit,
// and returns the state that the next block has to follow.
func judgeHeight(executor *sm.BlockExecutor, state sm.State, line []byte) (sm.State, error) {
	var given height
	if err := json.Unmarshal(line, &given); err != nil {
		return state, err
	}
	committed, err := decodeLight(given.LightBlock)
	if err != nil {
		return state, err
	}
	block, id, err := decodeBlock(given.Block)
	if err != nil {
		return state, err
	}
	if err := executor.ValidateBlock(state, block); err != nil {
		return state, err
	}
	if err := committed.ValidateBasic(state.ChainID); err != nil {
		return state, err
	}
	if err := state.Validators.VerifyCommit(state.ChainID, id, block.Height, committed.Commit); err != nil {
		return state, err
	}
	return advance(state, block, id, given), nil
}

func advance(state sm.State, block *types.Block, id types.BlockID, given height) sm.State {
	next := state.Copy()
	next.LastBlockHeight = block.Height
	next.LastBlockID = id
	next.LastBlockTime = block.Time
	next.LastValidators = state.Validators.Copy()
	next.LastResultsHash = types.NewResults(given.Results).Hash()
	next.AppHash = given.AppHash
	return next
}

// decodeBlock returns a block and its id, if its bytes are the ones that CometBFT would write.
func decodeBlock(encoded []byte) (*types.Block, types.BlockID, error) {
	var message cmtproto.Block
	if err := proto.Unmarshal(encoded, &message); err != nil {
		return nil, types.BlockID{}, err
	}
	again, err := proto.Marshal(&message)
	if err != nil {
		return nil, types.BlockID{}, err
	}
	if !bytes.Equal(again, encoded) {
		return nil, types.BlockID{}, errors.New("block is encoded in another way than CometBFT's")
	}
	block, err := types.BlockFromProto(&message)
	if err != nil {
		return nil, types.BlockID{}, err
	}
	parts, err := block.MakePartSet(types.BlockPartSizeBytes)
	if err != nil {
		return nil, types.BlockID{}, err
	}
	return block, types.BlockID{Hash: block.Hash(), PartSetHeader: parts.Header()}, nil
}

func decodeLight(line []byte) (*types.LightBlock, error) {
	var given lightBlock
	if err := cmtjson.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	validators, err := types.ValidatorSetFromExistingValidators(given.Validators)
	if err != nil {
		return nil, err
	}
	return &types.LightBlock{SignedHeader: given.SignedHeader, ValidatorSet: validators}, nil
}

// lines reads standard input line by line, however long they are within maxLine.
type lines struct{ scanner *bufio.Scanner }

func newLines(in io.Reader) *lines {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, maxLine)
	return &lines{scanner}
}

func (l *lines) next() ([]byte, error) {
	if l.scanner.Scan() {
		return bytes.Clone(l.scanner.Bytes()), nil
	}
	if err := l.scanner.Err(); err != nil {
		return nil, err
	}
	return nil, io.EOF
}

// each hands every line to judge, up to the first that it refuses, and returns how many it took.
func (l *lines) each(judge func([]byte) error) (int, error) {
	for count := 0; ; count++ {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err == nil {
			err = judge(line)
		}
		if err != nil {
			return count, err
		}
	}
}
