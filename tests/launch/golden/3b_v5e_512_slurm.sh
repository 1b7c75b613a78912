# create
true  # nothing to do

# install
true  # nothing to do

# start
mkdir -p runs/slurm
sbatch --parsable <<'END'
#!/bin/bash
#SBATCH --job-name=babeldraw-3b
#SBATCH --nodes=128
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=runs/slurm/babeldraw-3b.log
#SBATCH --signal=B:TERM@300
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
export BABELDRAW_JOIN_SECONDS=300
export TFDS_DATA_DIR=gs://BUCKET/tfds
srun bash launch/worker.sh install tpu
exec .venv/bin/python -m launch.babysitter --max_restarts=50 --model_dir gs://BUCKET/babeldraw-3b -- srun --kill-on-bad-exit=1 --open-mode=append --output=runs/slurm/babeldraw-3b-%t.log bash launch/worker.sh run train --gin_file=gin/runs/text_to_image.gin --gin_file=gin/models/3b.gin --gin_file=gin/tokenizers/small_small.gin --gin_file=gin/tasks/coco.gin --config=configs/v5e_512.py '--gin.TOKENIZER_CHECKPOINT='"'"'gs://BUCKET/tokenizer'"'"'' --model_dir=gs://BUCKET/babeldraw-3b
END

# logs
tail --retry --follow=name --lines=+1 runs/slurm/babeldraw-3b-0.log

# status (later, by --do=status)
squeue --me --name=babeldraw-3b

# stop (later, by --do=stop)
scancel --batch --signal=TERM --me --name=babeldraw-3b

# delete (later, by --do=delete)
scancel --me --name=babeldraw-3b
