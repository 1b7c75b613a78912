# create
true  # nothing to do

# install
true  # nothing to do

# start
mkdir -p runs/slurm
sbatch --parsable <<'END'
#!/bin/bash
#SBATCH --job-name=babeldraw-t5x
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=runs/slurm/babeldraw-t5x.log
#SBATCH --signal=B:TERM@300
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
export BABELDRAW_JOIN_SECONDS=300
export BABELDRAW_T5X_DIR=/clones
srun bash launch/worker.sh install t5x,tpu
exec .venv/bin/python -m launch.babysitter --max_restarts=50 --model_dir gs://BUCKET/babeldraw-t5x -- srun --kill-on-bad-exit=1 --open-mode=append --output=runs/slurm/babeldraw-t5x-%t.log bash launch/worker.sh run t5x train --gin_file=gin/t5x/pretrain.gin --gin_file=gin/models/350m.gin --gin_file=gin/tokenizers/small_small.gin --gin_file=gin/tasks/coco.gin --config=configs/v5e_16.py --gin.BATCH_SIZE=512 '--gin.TOKENIZER_CHECKPOINT='"'"'gs://BUCKET/tokenizer'"'"'' --model_dir=gs://BUCKET/babeldraw-t5x
END

# logs
tail --retry --follow=name --lines=+1 runs/slurm/babeldraw-t5x-0.log

# status (later, by --do=status)
squeue --me --name=babeldraw-t5x

# stop (later, by --do=stop)
scancel --batch --signal=TERM --me --name=babeldraw-t5x

# delete (later, by --do=delete)
scancel --me --name=babeldraw-t5x
