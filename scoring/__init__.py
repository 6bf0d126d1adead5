"""From patch sets to confidences: patches and regions, the memo, the engine, the networks."""
