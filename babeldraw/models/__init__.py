"""Networks: arrays in, arrays out. They know no file, no gin and no mesh."""
