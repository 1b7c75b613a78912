# create
if gcloud compute tpus queued-resources describe babeldraw-t5x --format='value(state.state)' 2>/dev/null |
    grep -qxE 'SUSPENDED|FAILED'; then
  gcloud compute tpus queued-resources delete babeldraw-t5x --force --quiet
fi
gcloud compute tpus queued-resources describe babeldraw-t5x >/dev/null 2>&1 ||
  gcloud compute tpus queued-resources create babeldraw-t5x \
    --node-id=babeldraw-t5x \
    --accelerator-type=v5litepod-16 \
    --runtime-version=v2-alpha-tpuv5-lite
until gcloud compute tpus queued-resources describe babeldraw-t5x --format='value(state.state)' |
    grep -qx ACTIVE; do sleep 30; done

# install
bash launch/pack.sh build/babeldraw.tar.gz /clones
gcloud compute tpus tpu-vm scp build/babeldraw.tar.gz babeldraw-t5x: --worker=all
gcloud compute tpus tpu-vm ssh babeldraw-t5x \
    --worker=all \
    --command='mkdir -p babeldraw && tar -xzf babeldraw.tar.gz -C babeldraw'
gcloud compute tpus tpu-vm ssh babeldraw-t5x \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh install t5x,tpu'

# start
gcloud compute tpus tpu-vm ssh babeldraw-t5x \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh start BABELDRAW_JOIN_SECONDS=300 BABELDRAW_T5X_DIR=build/t5x -- t5x train --gin_file=gin/t5x/pretrain.gin --gin_file=gin/models/350m.gin --gin_file=gin/tokenizers/small_small.gin --gin_file=gin/tasks/coco.gin --config=configs/v5e_16.py --gin.BATCH_SIZE=512 '"'"'--gin.TOKENIZER_CHECKPOINT='"'"'"'"'"'"'"'"'gs://BUCKET/tokenizer'"'"'"'"'"'"'"'"''"'"' --model_dir=gs://BUCKET/babeldraw-t5x'

# logs
gcloud compute tpus tpu-vm ssh babeldraw-t5x \
    --worker=0 \
    --command='bash babeldraw/launch/worker.sh wait'

# status (later, by --do=status)
gcloud compute tpus queued-resources describe babeldraw-t5x --format='value(state.state)'
gcloud compute tpus tpu-vm ssh babeldraw-t5x \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh status'

# stop (later, by --do=stop)
gcloud compute tpus tpu-vm ssh babeldraw-t5x \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh stop'

# delete (later, by --do=delete)
gcloud compute tpus queued-resources delete babeldraw-t5x --force --quiet
